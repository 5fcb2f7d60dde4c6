#!lua flags=no-writes
-- Reads the number of shards. KEYS: its key.
return redis.call('GET', KEYS[1])
