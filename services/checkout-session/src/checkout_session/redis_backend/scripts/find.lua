#!lua flags=no-writes
-- Reads an attempt and its closed marker at one moment. KEYS: attempt, closed.
local closed = redis.call('HMGET', KEYS[2], 'close_reason', 'delete_reason', 'user_id', 'deleted_at')
return { redis.call('HGET', KEYS[1], 'content'), closed[1], closed[2], closed[3], closed[4] }
