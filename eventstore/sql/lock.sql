SELECT log.lock()
