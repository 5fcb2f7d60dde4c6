#!lua flags=allow-oom
-- Answers a repeated save as save.lua does, which a full Redis refuses as a whole. Stores nothing.
-- KEYS: attempt, closed. Returns the stored bytes and 1; false if the id is closed; an error if nothing is stored.
-- allow-oom: the field that is written again takes no further memory.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return false
end
local stored = redis.call('HGET', KEYS[1], 'content')
if not stored then
  return redis.error_reply('OOM no room for a new attempt')
end
-- It may not be on disk yet, and a connection waits only for its own writes (ADR 9).
redis.call('HSET', KEYS[1], 'user_id', redis.call('HGET', KEYS[1], 'user_id'))
return { stored, 1 }
