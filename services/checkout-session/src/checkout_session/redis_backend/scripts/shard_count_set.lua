#!lua flags=allow-oom
-- Sets the number of shards if it is unset, and otherwise writes the stored number again: a write without effect, by
-- which a server shows that it can write durably. Returns the number. KEYS: its key. ARGV: the number.
-- allow-oom: a full Redis can still serve what it has.
local stored = redis.call('GET', KEYS[1]) or ARGV[1]
redis.call('SET', KEYS[1], stored)
return stored
