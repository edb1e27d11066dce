-- Prolongs, gives up and takes leases, in this order: what is given up is not prolonged after it, and can
-- be taken at once. What is wanted and free is taken without this script, so somebody has, or had, what it takes.
--
-- KEYS      the leases that are prolonged, then those that are given up, then those that are taken
-- ARGV[1]   how many are prolonged
-- ARGV[2]   how many are given up
-- ARGV[…]   the holder of each key: job (36 characters), fence (20 digits), token and nonce (16 hex digits
--           each), with `:` between
-- ARGV[…]   of each that is prolonged or taken: time to live from now, ms
--
-- Returns a text of numbers with spaces between, one for each key:
--   prolonged  1, or 0 if another holder has it; a lease that nobody has is taken again
--   given up   1, or 0 if it was no longer this holder's
--   taken      -1 it is this holder's now, -2 another delivery of the same dispatch has it, else the
--              milliseconds until the other holder's ends

local kept, dropped = tonumber(ARGV[1]), tonumber(ARGV[2])
local answers = {}

local function drop_all()
  local held, own = redis.call('MGET', unpack(KEYS, kept + 1, kept + dropped)), {}
  for i = 1, dropped do
    local is_own = held[i] == ARGV[2 + kept + i]
    answers[kept + i] = is_own and '1' or '0'
    own[#own + 1] = is_own and KEYS[kept + i] or nil
  end
  if own[1] then
    redis.call('DEL', unpack(own))
  end
end

local function keep(key, holder, ttl)
  local held = redis.call('GET', key)
  if held and held ~= holder then
    return 0
  end
  redis.call('SET', key, holder, 'PX', ttl)
  return 1
end

-- A lease is taken if it is free by now, or held by the same job under an older fence, or under this one with
-- a smaller token, or by this very holder: the answer to its first request was lost on the way.
local function take(key, holder, ttl)
  local held = redis.call('GET', key)
  if held and held ~= holder then
    local same_dispatch = string.sub(held, 1, 57) == string.sub(holder, 1, 57)
    if same_dispatch and string.sub(held, 59, 74) >= string.sub(holder, 59, 74) then
      return -2
    end
    local other_job = string.sub(held, 1, 36) ~= string.sub(holder, 1, 36)
    -- Fences have leading zeros, so they compare as text: numbers lose digits above 2^53.
    local newer = string.sub(held, 38, 57) > string.sub(holder, 38, 57)
    if other_job or newer then
      return math.max(redis.call('PTTL', key), 0)
    end
  end
  redis.call('SET', key, holder, 'PX', ttl)
  return -1
end

local ttls = 2 + #KEYS
for i = 1, kept do
  answers[i] = keep(KEYS[i], ARGV[2 + i], ARGV[ttls + i])
end
if dropped > 0 then
  drop_all()
end
for i = kept + dropped + 1, #KEYS do
  answers[i] = take(KEYS[i], ARGV[2 + i], ARGV[ttls + i - dropped])
end
return table.concat(answers, ' ')
