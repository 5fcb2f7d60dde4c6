#!lua flags=allow-oom
-- Writes the number of shards where there is none, and the one that is there once more: a change that changes nothing,
-- by which a server shows that it can keep one. Answers the number. KEYS: its key. ARGV: the number.
-- allow-oom: a full Redis can still be read, and can still keep what it has.
local stored = redis.call('GET', KEYS[1]) or ARGV[1]
redis.call('SET', KEYS[1], stored)
return stored
