#!lua flags=allow-oom
-- Hands out the due attempts of a shard, the longest due first, and moves their check time by a lease.
-- KEYS: due, intents. ARGV: maximum number, lease in seconds. Returns their ids, and their entries in intents.
-- allow-oom: judging attempts frees memory.
local now = redis.call('TIME')[1]
local ids = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
if #ids == 0 then
  return { ids, {} }
end
local checks = {}
for _, id in ipairs(ids) do
  checks[#checks + 1] = now + ARGV[2]
  checks[#checks + 1] = id
end
redis.call('ZADD', KEYS[1], 'XX', unpack(checks))
return { ids, redis.call('HMGET', KEYS[2], unpack(ids)) }
