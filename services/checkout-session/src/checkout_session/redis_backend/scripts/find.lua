#!lua flags=no-writes
-- Reads an attempt and its closed marker at one moment. KEYS: attempt, closed. Returns the fields and values of each.
return { redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2]) }
