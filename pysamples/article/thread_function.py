import threading


def worker():
    print('线程正在执行')


# 创建线程
t = threading.Thread(target=worker)
# 启动线程
t.start()
# 等待线程执行完毕
t.join()
