
-- The answers: `state.rs`.

local NONE = {}

-- Names and meters of the parts that limit a call.
local function parts_of(tenant, model, now)
  if limits.parts == '' then
    return NONE, NONE
  end
  return Parts.of(tenant, model, now)
end

-- Whether the breaker lets a call go, and when if not.
local function passage_at(now)
  if state.breaker ~= '' then
    return Breaker.admit(now)
  end
end

-- With a slot, its time and the parts follow, unless it is the breaker's.
local function admit(spend, hold, lead, ttl, tenant, model, now)
  local names, opened = parts_of(tenant, model, now)
  local refused = Next.never(spend, opened)
  if refused then
    return refused
  end
  local most = Next.places()
  if most and Calls.count >= most then
    Next.was_full()
    return { 3, Calls.until_first_end() }
  end
  local passage, probe_at = passage_at(now)
  if passage == NOT_BEFORE then
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
  if passage == PROBE then
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
    Discovery.report(), Next.places() or -1, state.limits,
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
-- Some parts that are idle, whatever limits they had, and calls that have ended for certain.
local idle = redis.call('ZRANGEBYSCORE', IDLE, '-inf', '(' .. text(now), 'LIMIT', 0, 8)
if idle[1] then
  Parts.forget(Places.forget(idle))
end
local texts, answers = {}, { now, was_empty and 1 or 0, '' }

local function answer(it)
  if type(it) == 'table' then
    answers[#answers + 1] = it
    it = ''
  end
  texts[#texts + 1] = it
end

-- Those who could go when the one before them does go with it.
local function admit_alike(count, tenant, model, spend, hold, lead, ttl)
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

-- Each thing to do has so many arguments, its name among them.
local WIDTH = { ask = 5, settle = 4, ['give-back'] = 2, resume = 3, doubt = 3, begun = 4, pause = 3, renew = 2, report = 1 }

-- Calls that end, and how long each took, and calls whose places are renewed, by where that stands.
local ended, took, renewed = {}, {}, {}

local function read_calls()
  local all, place = {}, 7
  while ARGV[place] do
    local what = ARGV[place]
    if what == 'settle' then
      local ids, times = {}, {}
      for id, time in gmatch(ARGV[place + 3], '(%d+) (%-?%d+);') do
        ids[#ids + 1], times[#times + 1], all[#all + 1] = id, time, id
      end
      ended[place], took[place] = ids, times
    elseif what == 'give-back' then
      all[#all + 1] = ARGV[place + 1]
    elseif what == 'renew' then
      local ids = {}
      for id in gmatch(ARGV[place + 1], '(%d+);') do
        ids[#ids + 1], all[#all + 1] = id, id
      end
      renewed[place] = ids
    end
    place = place + WIDTH[what]
  end
  Calls.load(all)
end

-- Units, and times.
local function read_wish(words)
  local input, output, money, hold, lead, ttl = match(words, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  return Spend.new(input + 0, output + 0, money + 0), hold + 0, lead + 0, ttl + 0
end

local function settle_alike(place)
  local verdict, pause_time, used = match(ARGV[place + 1], '^(%a) (%d+) ?(.*)$')
  local input, output, money = match(used, '^(%d+) (%d+) (%d+)$')
  answer(Ends.settle(ended[place], took[place], {
    verdict = verdict, pause = pause_time + 0, standings = ARGV[place + 2],
    used = input and Spend.new(input + 0, output + 0, money + 0) or nil,
  }, now))
end

read_calls()
local place = 7
while ARGV[place] do
  local what, first, second, third, fourth = unpack(ARGV, place, min(place + 4, #ARGV))
  if what == 'ask' then
    admit_alike(first + 0, third, fourth, read_wish(second))
  elseif what == 'settle' then
    settle_alike(place)
  elseif what == 'give-back' then
    answer(Ends.give_back(first, now))
  elseif what == 'resume' then
    answer(Resume.resume(first + 0, second + 0, now))
  elseif what == 'doubt' then
    answer(Resume.doubt(first + 0, second, now))
  elseif what == 'begun' then
    local spend, _, _, ttl = read_wish(first)
    answer(Resume.begun(spend, ttl, second, third, now))
  elseif what == 'renew' then
    answer(Places.renew(renewed[place], now))
  elseif what == 'pause' then
    answer(Ends.pause(now + first, second, now))
  else
    answer(report(now))
  end
  place = place + WIDTH[what]
end
State.keep(now)
State.close()
answers[3] = table.concat(texts, ';')
return answers
