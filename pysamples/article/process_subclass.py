import multiprocessing


class MyProcess(multiprocessing.Process):
    def run(self):
        print(f'{self.name} 进程正在执行')


if __name__ == '__main__':
    # 创建进程实例
    my_process = MyProcess()
    # 启动进程
    my_process.start()
    # 等待进程执行完毕
    my_process.join()
