-- Takes a lease if it is free, or held by the same job under an older fence, or under this one with a
-- smaller token.
--
-- KEYS[1]  the lease
-- ARGV[1]  holder: job (36 characters), fence (20 digits), token (16 hex digits), with `:` between
-- ARGV[2]  time to live, ms
--
-- Returns -1 if it is taken now, -2 if another delivery of the same dispatch has it, else the
-- milliseconds until the other holder's ends.

local held = redis.call('GET', KEYS[1])
if held then
  if string.sub(held, 1, 57) == string.sub(ARGV[1], 1, 57) and held >= ARGV[1] then
    return -2
  end
  local other_job = string.sub(held, 1, 36) ~= string.sub(ARGV[1], 1, 36)
  -- Fences have leading zeros, so they compare as text: numbers lose digits above 2^53.
  local newer = string.sub(held, 38, 57) > string.sub(ARGV[1], 38, 57)
  if other_job or newer then
    return math.max(redis.call('PTTL', KEYS[1]), 0)
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return -1
