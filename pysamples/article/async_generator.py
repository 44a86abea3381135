import asyncio


async def async_generator():
    for i in range(3):
        await asyncio.sleep(1)
        yield i


async def main():
    async for num in async_generator():
        print(num)


if __name__ == "__main__":
    asyncio.run(main())
