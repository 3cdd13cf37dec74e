-- A process that stops with the lock in hand (it is paused, or cut off) is thrown out after this time: all appends wait for the lock.
SET LOCAL idle_in_transaction_session_timeout = '5s';
SELECT log.lock()
