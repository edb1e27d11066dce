
-- How many calls at a time: `adaptive.rs`. In the state, `adaptive` is `MIN MAX`, empty if the
-- number is not looked for; `adapted` the numbers below in a text. It is read when it is needed.

local ADAPTED = { 'limit', 'base', 'rounds', 'measured_at', 'after', 'calls', 'took', 'failed', 'full' }
local adapted = nil

-- nil if the number is not looked for.
local function numbers()
  if adapted or state.adaptive == '' then
    return adapted
  end
  local min, max = match(state.adaptive, '^(%d+) (%d+)$')
  adapted = { min = tonumber(min), max = tonumber(max) }
  local place = 1
  for number in gmatch(state.adapted, '%d+') do
    adapted[ADAPTED[place]] = tonumber(number)
    place = place + 1
  end
  return adapted
end

-- Takes other bounds over: what was found is kept as far as it is within them.
local function adopt(options)
  local it = options ~= '' and numbers()
  if options == state.adaptive then
    return
  end
  local least, most = match(options, '^(%d+) (%d+)$')
  state.adaptive = options
  if it then
    it.min, it.max = tonumber(least), tonumber(most)
    it.limit = min(max(it.limit, it.min), it.max)
  else
    adapted = nil
    state.adapted = options == '' and '' or format('%s 0 0 %s %d 0 0 0 0', least, least, state.id)
  end
end

-- Calls that may be under way now; nil: any number.
local function places()
  local it = numbers()
  if not it then
    return limits.places
  end
  local found = it.rounds == 0 and max(it.min, floor(it.limit / 2)) or it.limit
  return min(limits.places or found, found)
end

local function was_full()
  if numbers() then
    adapted.full = 1
  end
end

local function end_round(it)
  local fails = 10 * it.failed > it.calls + it.failed
  if fails then
    it.limit = max(it.min, floor(it.limit * 9 / 10))
  end
  if it.calls == 0 then
    return
  end
  local mean = max(1, floor(it.took / it.calls))
  if it.rounds == 0 then
    it.base, it.measured_at = mean, it.limit
  elseif it.full == 1 and not fails then
    local gradient = min(floor(1100 * it.base / mean), 1000)
    local wanted = floor(it.limit * gradient / 1000) + floor(math.sqrt(it.limit))
    it.limit = min(max(wanted, floor(it.limit * 3 / 4), it.min), it.max)
  end
  it.rounds = 2 * it.limit < it.measured_at and 0 or (it.rounds + 1) % 20
end

-- Call `id` took so long; -1: unknown.
local function record(id, verdict, took)
  local it = took >= 0 and numbers()
  if not it or id <= it.after then
    return
  end
  if verdict == 'healthy' then
    it.calls, it.took = it.calls + 1, it.took + min(took, 2 ^ 40)
  elseif verdict == 'failing' then
    it.failed = it.failed + 1
  else
    return
  end
  local free = it.rounds == 0 and max(it.min, floor(it.limit / 2)) or it.limit
  if it.calls + it.failed >= min(max(2 * free, 30), 200) then
    end_round(it)
    it.after, it.calls, it.took, it.failed, it.full = state.id, 0, 0, 0, 0
  end
end

local function write()
  if adapted then
    local numbers = {}
    for i, name in ipairs(ADAPTED) do
      numbers[i] = text(adapted[name])
    end
    state.adapted = table.concat(numbers, ' ')
  end
end

return {
  adopt = adopt, places = places, was_full = was_full, record = record, write = write,
}
