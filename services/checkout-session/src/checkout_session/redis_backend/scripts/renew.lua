#!lua flags=allow-oom
-- Renews the lifetimes of attempts, and of their closed markers, which must outlive them.
-- KEYS: attempt and closed of each. ARGV: the attempt's TTL, the marker's TTL.
-- Returns for each: 1 if its content exists, its close reason or false, 1 if it was deleted.
-- allow-oom: a new lifetime takes no memory.
local states = {}
for at = 1, #KEYS, 2 do
  local exists = redis.call('EXPIRE', KEYS[at], ARGV[1])
  if exists == 1 then
    redis.call('EXPIRE', KEYS[at + 1], ARGV[2])
  end
  local close_reason = redis.call('HGET', KEYS[at + 1], 'close_reason')
  states[#states + 1] = { exists, close_reason, redis.call('HEXISTS', KEYS[at + 1], 'delete_reason') }
end
return states
