-- Prolongs a lease, or takes it again if nobody has it.
--
-- KEYS[1]  the lease
-- ARGV[1]  holder, as in acquire.lua
-- ARGV[2]  time to live from now, ms
--
-- Returns 1, or 0 if another holder has it.

local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
