#!lua
-- Stores an attempt unless its id is closed or stored already.
-- KEYS: attempt, closed, due. ARGV: attempt bytes, its TTL, attempt id, seconds until its first check.
-- Answers the bytes that are stored now and whether they were there before; nothing if the id is closed.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return false
end
local stored = redis.call('GET', KEYS[1])
if stored then
  return { stored, 1 }
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[4]), ARGV[3])
return { false, 0 }
