#!lua flags=allow-oom
-- Refuses further saves of an id and makes a stored attempt due at once. The first reason and the first successor stay.
-- KEYS: attempt, closed, due, intents. ARGV: close reason, the marker's TTL, attempt id, successor or an empty string.
-- Returns what stands then, as find.lua does.
-- allow-oom: a full Redis must not stop an attempt from being closed before its intent is cancelled.
local deleted = redis.call('HEXISTS', KEYS[2], 'delete_reason') == 1
if not deleted and redis.call('HSETNX', KEYS[2], 'close_reason', ARGV[1]) == 1 then
  local now = redis.call('TIME')[1]
  redis.call('HSET', KEYS[2], 'closed_at', now)
  redis.call('EXPIRE', KEYS[2], ARGV[2])
  if redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('ZADD', KEYS[3], now, ARGV[3])
  end
end
if ARGV[4] ~= '' and redis.call('HSETNX', KEYS[2], 'successor', ARGV[4]) == 1 then
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
local marker = redis.call('HGETALL', KEYS[2])
-- It may not be on disk yet, and a connection waits only for its own writes (ADR 9).
redis.call('HSET', KEYS[2], unpack(marker))
return { redis.call('HGETALL', KEYS[1]), marker }
