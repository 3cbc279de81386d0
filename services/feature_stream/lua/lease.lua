-- Put before each script that acts on a lease: whether an entry is pending for this consumer, and the history of its
-- lone runs (one line each: Redis time, consumer, and ": error" where one was noted).
local function is_mine(features, group, consumer, id)
  local pending = redis.pcall('XPENDING', features, group, id, id, 1)
  return not pending.err and pending[1] and pending[1][2] == consumer
end

local function missed(features, id)
  return #redis.call('XRANGE', features, id, id) > 0 and -1 or -2
end

-- Replies that nobody reads are not kept for ever; the edge that reads them puts the end off.
local function reply(replies, message, kept_ms)
  redis.call('XADD', replies, '*', 'm', message)
  if redis.call('PTTL', replies) < 0 then
    redis.call('PEXPIRE', replies, kept_ms)
  end
end

local function forget_note(notes, note, id)
  if redis.call('HGET', notes, note) == id then
    redis.call('HDEL', notes, note)
  end
end

local function begin_run(runs, consumer, id, history)
  local now = redis.call('TIME')
  local line = now[1] .. '.' .. string.format('%06d', now[2]) .. ' ' .. consumer
  if history ~= '' then
    line = history .. '\n' .. line
  end
  redis.call('HSET', runs, id, line)
  return line
end

local function count_runs(history)
  if history == '' then
    return 0
  end
  return select(2, string.gsub(history, '\n', '\n')) + 1
end
