
-- The answers: `state.rs`.

-- With a slot, its time and the parts follow, unless it is the breaker's.
local function admit(spend, hold, lead, ttl, tenant, model, now)
  local names, opened = Parts.of(tenant, model, now)
  local refused = Next.never(spend, opened)
  if refused then
    return refused
  end
  local most = Adaptive.places()
  if most and Calls.count >= most then
    Adaptive.was_full()
    return { 3, Calls.until_first_end() }
  end
  local passage, probe_at = Breaker.admit(now)
  if passage == Breaker.NOT_BEFORE then
    return { 2, probe_at, BROKEN, Breaker.note(now), 0 }
  end
  if found and Discovery.grow(now) then
    State.meter_found(now)
  end
  Ends.throttle(now)
  Meters.prepare(meters, spend, now)
  for _, part in ipairs(opened) do
    Meters.prepare(part, spend, now)
  end
  local claim = Next.claimed_before(spend, now)
  local at, lack, whole, of_part, part_place, is_behind = Next.slot(opened, spend, claim, now)
  at = max(at, now + lead)
  local too_far = at > now + max(is_behind and 0 or hold, lead)
  if not claim then
    Next.set_claim(too_far and whole, spend, hold, at, now)
  end
  for _, name in ipairs(names) do
    Parts.used[name] = true
  end
  if too_far then
    Spend.note_wish(spend)
    if of_part and not is_behind then
      at = max(Meter.tell(of_part, spend[of_part.dimension], at) - floor(hold / 2), 0)
    end
    return { 2, at, lack, lack == PAUSE and state.why or '', Parts.word(part_place) }
  end
  for _, part in ipairs(opened) do
    for _, meter in ipairs(part) do
      Meter.see_free(meter, spend[meter.dimension], now)
    end
  end
  local id = Next.take_slots(1, spend, names, opened, at, ttl)
  if passage == Breaker.PROBE then
    Breaker.probe(id, at, ttl)
    return Next.granted(at, id, true)
  end
  return Next.granted(at, id, false), at, names, opened
end

local function report(now)
  local share = Ends.throttle(now)
  Meters.prepare(meters, Spend.new(0, 0, 0), now)
  local used = {}
  local at, of = Next.start(now)
  for _, meter in ipairs(meters) do
    for _, number in ipairs({ LACKS[meter.dimension], meter.log.sum, Meter.others(meter, now), meter.amount }) do
      used[#used + 1] = number
    end
  end
  return {
    Calls.count, state.paused, state.why, at, { of.input, of.output, of.money }, share, used, Breaker.report(now),
    Discovery.report(), Adaptive.places() or -1, state.limits,
  }
end

local function server_time()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local clock = tonumber(ARGV[1]) or server_time()
local valid_until = tonumber(ARGV[2])
if valid_until > 0 and clock > valid_until then
  return { clock }
end
local now, was_empty = State.open(clock)
-- Whoever was given a slot ahead by a state that was lost still goes: meters that know nothing
-- begin when the last of those has gone.
State.adopt(tonumber(ARGV[3]), ARGV[4], now, now + tonumber(ARGV[5]))
Parts.forget_idle(now)
local texts, answers = {}, { now, was_empty and 1 or 0, '' }

local function answer(it)
  if type(it) == 'table' then
    answers[#answers + 1] = it
    it = ''
  end
  texts[#texts + 1] = it
end

-- Those who could go when the one before them does go with it.
local function admit_alike(count, spend, hold, lead, ttl, tenant, model)
  while count > 0 do
    local it, at, names, opened = admit(spend, hold, lead, ttl, tenant, model, now)
    local more = at and min(count - 1, Next.room_at(at, spend, opened, now)) or 0
    if more > 0 then
      Next.take_slots(more, spend, names, opened, at, ttl)
      it = it .. ' ' .. text(more)
    end
    answer(it)
    count = count - 1 - more
  end
end

-- How many arguments the others take, with their names.
local WIDTH = { ask = 10, ['give-back'] = 2, resume = 3, doubt = 3, begun = 7, pause = 3, report = 1 }

local function calls_that_end(place)
  local ids = {}
  while ARGV[place] do
    local what = ARGV[place]
    if what == 'settle' then
      local count = ARGV[place + 1]
      for i = 1, count do
        ids[#ids + 1] = ARGV[place + 4 + 2 * i]
      end
      place = place + 6 + 2 * count
    else
      ids[#ids + 1] = what == 'give-back' and ARGV[place + 1] or nil
      place = place + WIDTH[what]
    end
  end
  return ids
end

local place = 6
Calls.load(calls_that_end(place))

-- The next arguments, as numbers if they are.
local function argument()
  place = place + 1
  return ARGV[place - 1]
end
local function number()
  return tonumber(argument())
end

local function settle_alike()
  local count, used, verdict, pause_time, standings = number(), argument(), argument(), number(), argument()
  local input, output, money = match(used, '^(%d+) (%d+) (%d+)$')
  used = input and Spend.new(tonumber(input), tonumber(output), tonumber(money)) or nil
  for _ = 1, count do
    local id = argument()
    answer(Ends.settle(id, used, verdict, pause_time, number(), standings, now))
  end
end

while ARGV[place] do
  local what = argument()
  if what == 'ask' then
    local count, spend = number(), Spend.new(number(), number(), number())
    admit_alike(count, spend, number(), number(), number(), argument(), argument())
  elseif what == 'settle' then
    settle_alike()
  elseif what == 'give-back' then
    answer(Ends.give_back(argument(), now))
  elseif what == 'resume' then
    answer(resume(number(), number(), now))
  elseif what == 'doubt' then
    answer(doubt(number(), argument(), now))
  elseif what == 'begun' then
    local spend = Spend.new(number(), number(), number())
    answer(begun(spend, number(), argument(), argument(), now))
  elseif what == 'pause' then
    answer(Ends.pause(now + number(), argument(), now))
  else
    answer(report(now))
  end
end
State.keep(now)
State.close()
answers[3] = table.concat(texts, ';')
return answers
