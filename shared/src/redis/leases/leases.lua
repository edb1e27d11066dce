-- Takes, prolongs and gives up leases: each request in its turn.
--
-- KEYS[i]      the i-th request's lease
-- ARGV[3i-2]   what: `take`, `keep` or `drop`
-- ARGV[3i-1]   holder: job (36 characters), fence (20 digits), token (16 hex digits), with `:` between
-- ARGV[3i]     time to live from now, ms; of no meaning for `drop`
--
-- Returns one number for each request:
--   take   -1 it is this holder's now, -2 another delivery of the same dispatch has it, else the
--          milliseconds until the other holder's ends
--   keep   1, or 0 if another holder has it; a lease that nobody has is taken again
--   drop   1, or 0 if it was no longer this holder's

-- A lease is taken if it is free, or held by the same job under an older fence, or under this one with
-- a smaller token.
local function take(key, holder, ttl)
  if redis.call('SET', key, holder, 'NX', 'PX', ttl) then
    return -1
  end
  local held = redis.call('GET', key)
  if string.sub(held, 1, 57) == string.sub(holder, 1, 57) and held >= holder then
    return -2
  end
  local other_job = string.sub(held, 1, 36) ~= string.sub(holder, 1, 36)
  -- Fences have leading zeros, so they compare as text: numbers lose digits above 2^53.
  local newer = string.sub(held, 38, 57) > string.sub(holder, 38, 57)
  if other_job or newer then
    return math.max(redis.call('PTTL', key), 0)
  end
  redis.call('SET', key, holder, 'PX', ttl)
  return -1
end

local function keep(key, holder, ttl)
  local held = redis.call('GET', key)
  if held and held ~= holder then
    return 0
  end
  redis.call('SET', key, holder, 'PX', ttl)
  return 1
end

local function drop(key, holder)
  if redis.call('GET', key) ~= holder then
    return 0
  end
  return redis.call('DEL', key)
end

local does = { take = take, keep = keep, drop = drop }
local answers = {}
for i, key in ipairs(KEYS) do
  answers[i] = does[ARGV[3 * i - 2]](key, ARGV[3 * i - 1], ARGV[3 * i])
end
return answers
