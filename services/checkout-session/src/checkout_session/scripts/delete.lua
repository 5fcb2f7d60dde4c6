#!lua flags=allow-oom
-- Removes an attempt and leaves a tombstone. The first reason stays.
-- KEYS: attempt, closed, due. ARGV: delete reason, the tombstone's TTL, attempt id, and, if it is known, the user id.
-- The bytes are opaque here, so without the user id a stored attempt is not deleted but answered, for the caller to
-- read the user id and call again. It cannot have changed in between: an id's content never does.
-- allow-oom: deleting is how a full Redis gets room again.
local stored = redis.call('GET', KEYS[1])
if stored and not ARGV[4] then
  return stored
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[3], ARGV[3])
if redis.call('HSETNX', KEYS[2], 'delete_reason', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[2], 'user_id', ARGV[4] or '', 'deleted_at', redis.call('TIME')[1])
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
return false
