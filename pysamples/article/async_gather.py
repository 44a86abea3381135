import asyncio


async def coroutine1():
    await asyncio.sleep(1)
    print('协程1执行完毕')


async def coroutine2():
    await asyncio.sleep(2)
    print('协程2执行完毕')


if __name__ == "__main__":
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(asyncio.gather(coroutine1(), coroutine2()))
    finally:
        loop.close()
