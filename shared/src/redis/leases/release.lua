-- Gives a lease up.
--
-- KEYS[1]  the lease
-- ARGV[1]  holder, as in acquire.lua
--
-- Returns 1, or 0 if it was no longer this holder's.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
