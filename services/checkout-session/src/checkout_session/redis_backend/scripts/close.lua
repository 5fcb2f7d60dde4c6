#!lua flags=allow-oom
-- Refuses further saves of an id and makes a stored attempt due at once. The first reason stays.
-- KEYS: attempt, closed, due. ARGV: close reason, the marker's TTL, attempt id.
-- allow-oom: a full Redis must not stop an attempt from being closed before its intent is cancelled.
local marker = redis.call('HGETALL', KEYS[2])
if #marker > 0 then
  -- It may not be on disk yet, and a connection waits only for its own writes (ADR 9).
  redis.call('HSET', KEYS[2], unpack(marker))
  return
end
local now = redis.call('TIME')[1]
redis.call('HSET', KEYS[2], 'close_reason', ARGV[1], 'closed_at', now)
redis.call('EXPIRE', KEYS[2], ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('ZADD', KEYS[3], now, ARGV[3])
end
