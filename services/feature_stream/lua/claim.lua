-- Claims one entry whose lease has lapsed, whoever held it, and counts the start of its lone run, unless its runs are
-- used up: then it is claimed for the dead letters. Redis' own count of deliveries is not used: it counts claims.
-- KEYS: features, runs   ARGV: group, consumer, lease ms, cursor, runs allowed
-- Returns {id, message | false, history, run (1) or dead letter (0)}, or false where none has lapsed after the cursor
local group, consumer = ARGV[1], ARGV[2]
local cursor = ARGV[4]
for _ = 1, 64 do
  local pending = redis.call('XPENDING', KEYS[1], group, 'IDLE', ARGV[3], cursor, '+', 1)
  if not pending[1] then
    return false
  end
  local id = pending[1][1]
  cursor = '(' .. id
  -- Redis before 7 keeps a deleted entry pending and claims it as nil; it is dropped here.
  local claimed = redis.call('XCLAIM', KEYS[1], group, consumer, ARGV[3], id, 'JUSTID')
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if not entry then
    redis.call('XACK', KEYS[1], group, id)
    redis.call('HDEL', KEYS[2], id)
  elseif claimed[1] then
    local message = false
    for field = 1, #entry[2], 2 do
      if entry[2][field] == 'm' then
        message = entry[2][field + 1]
      end
    end
    local history = redis.call('HGET', KEYS[2], id) or ''
    if count_runs(history) >= tonumber(ARGV[5]) then
      return {id, message, history, 0}
    end
    return {id, message, begin_run(KEYS[2], consumer, id, history), 1}
  end
end
return false
