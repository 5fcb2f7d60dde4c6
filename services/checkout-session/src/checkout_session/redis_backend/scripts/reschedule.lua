#!lua flags=allow-oom
-- Sets the next check of attempts that are still in their shard's index: a deleted attempt must not return.
-- KEYS: due. ARGV: attempt id and delay in seconds of each.
-- allow-oom: judging attempts frees memory.
local now = redis.call('TIME')[1]
for at = 1, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], 'XX', now + ARGV[at + 1], ARGV[at])
end
