import multiprocessing


def task(num):
    return num * 2


if __name__ == '__main__':
    # 创建进程池，最大进程数为3
    with multiprocessing.Pool(processes=3) as pool:
        # 使用map方法并行执行任务
        results = pool.map(task, range(5))
        print(results)
