#!lua
-- Stores an attempt unless its id is closed or stored already.
-- KEYS: attempt, closed, due. ARGV: encrypted attempt, its owner's user id, its TTL, attempt id, seconds until its first
-- check. Returns the stored bytes and 1 if the id was stored before, 0 if not; false if the id is closed.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return false
end
local stored = redis.call('HGET', KEYS[1], 'content')
if stored then
  -- The first save may not be on disk yet, and a connection waits only for its own writes (ADR 9).
  redis.call('HSET', KEYS[1], 'user_id', redis.call('HGET', KEYS[1], 'user_id'))
  return { stored, 1 }
end
redis.call('HSET', KEYS[1], 'content', ARGV[1], 'user_id', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[5]), ARGV[4])
return { false, 0 }
