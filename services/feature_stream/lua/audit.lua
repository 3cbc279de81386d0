-- Adds an audit unless the stream holds enough. Where nobody takes or adds any more, the stream ends by itself.
-- KEYS: audit   ARGV: message, entries at most, ms that the stream is kept   Returns 1 if added, 0 if it is full
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('XADD', KEYS[1], '*', 'm', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
