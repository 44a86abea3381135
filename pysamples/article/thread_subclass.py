import threading


class MyThread(threading.Thread):
    def run(self):
        print(f'{self.name} 线程正在执行')


# 创建线程实例
my_thread = MyThread()
# 启动线程
my_thread.start()
# 等待线程执行完毕
my_thread.join()
