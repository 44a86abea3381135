import asyncio


async def coroutine():
    print('开始执行协程函数')
    await asyncio.sleep(1)
    print('协程函数执行结束')


if __name__ == '__main__':
    asyncio.run(coroutine())
