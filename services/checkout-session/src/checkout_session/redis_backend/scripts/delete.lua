#!lua flags=allow-oom
-- Deletes an attempt and leaves a tombstone, with the close reason and the successor that stand. The first reason stays.
-- KEYS: attempt, closed, due, intents. ARGV: delete reason, the tombstone's TTL, attempt id.
-- The owner is stored beside the content, so deleting needs no encryption key (ADR 11).
-- allow-oom: deleting frees memory.
local user_id = redis.call('HGET', KEYS[1], 'user_id')
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[3], ARGV[3])
redis.call('HDEL', KEYS[4], ARGV[3])
if redis.call('HSETNX', KEYS[2], 'delete_reason', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[2], 'user_id', user_id or '', 'deleted_at', redis.call('TIME')[1])
  redis.call('EXPIRE', KEYS[2], ARGV[2])
else
  -- It may not be on disk yet, and a connection waits only for its own writes (ADR 9).
  redis.call('HSET', KEYS[2], unpack(redis.call('HGETALL', KEYS[2])))
end
