#!lua
-- Stores an attempt unless its id is closed or stored already.
-- KEYS: attempt, closed, due, intents. ARGV: encrypted attempt; in clear its owner's user id, its intent's id and kind;
-- its TTL, attempt id, seconds until its first check, its entry in intents. Returns the stored bytes and 1 if the id was
-- stored before, 0 if not; false if the id is closed.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return false
end
local stored = redis.call('HGET', KEYS[1], 'content')
if stored then
  -- The first save may not be on disk yet, and a connection waits only for its own writes (ADR 9).
  redis.call('HSET', KEYS[1], 'user_id', redis.call('HGET', KEYS[1], 'user_id'))
  return { stored, 1 }
end
redis.call('HSET', KEYS[1], 'content', ARGV[1], 'user_id', ARGV[2], 'intent_id', ARGV[3], 'intent_kind', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[7]), ARGV[6])
redis.call('HSET', KEYS[4], ARGV[6], ARGV[8])
return { false, 0 }
