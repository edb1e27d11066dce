
-- The answers: `state.rs`.

local function admit(spend, hold, lead, ttl, tenant, model, now)
  local names, opened = parts_of(tenant, model, now)
  local refused = never(spend, opened)
  if refused then
    return refused
  end
  local most = places()
  if most and calls.count >= most then
    adaptive_was_full()
    return { 3, first_end() }
  end
  local passage, probe_at = breaker_admit(now)
  if passage == NOT_BEFORE then
    return { 2, probe_at, BROKEN, breaker_note(now), 0 }
  end
  if found and discovery_grow(now) then
    meter_found(now)
  end
  throttle(now)
  prepare(meters, spend, now)
  for _, part in ipairs(opened) do
    prepare(part, spend, now)
  end
  local before = claimed_before(spend, now)
  local at, lack, whole, of_part, part_place = next_slot(opened, spend, before, now)
  at = max(at, now + lead)
  local too_far = at > now + max(before and 0 or hold, lead)
  if not before then
    set_claim(too_far and whole, spend, hold, at)
  end
  for _, name in ipairs(names) do
    parts.used[name] = true
  end
  if too_far then
    note_wish(spend)
    if of_part and not before then
      at = max(meter_tell(of_part, spend[of_part.dimension], at) - floor(hold / 2), 0)
    end
    return { 2, at, lack, lack == PAUSE and state.why or '', part_word(part_place) }
  end
  for _, part in ipairs(opened) do
    for _, meter in ipairs(part) do
      meter_see_free(meter, spend[meter.dimension], now)
    end
  end
  local id = take_slot(spend, names, opened, at, ttl)
  if passage == PROBE then
    breaker_probe(id, at, ttl)
  end
  return granted(at, id, passage == PROBE)
end

local function report(now)
  local share = throttle(now)
  prepare(meters, new_spend(0, 0, 0), now)
  local used = {}
  local at, of = next_start(now)
  for _, meter in ipairs(meters) do
    for _, number in ipairs({ LACKS[meter.dimension], meter.log.sum, meter_others(meter, now), meter.amount }) do
      used[#used + 1] = number
    end
  end
  return {
    calls.count, state.paused, state.why, at, { of.input, of.output, of.money }, share, used, breaker_report(now),
    discovery_report(), places() or -1, state.limits,
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
local now, was_empty = open_state(clock)
-- Whoever was given a slot ahead by a state that was lost still goes: meters that know nothing
-- begin when the last of those has gone.
adopt(tonumber(ARGV[3]), ARGV[4], now, now + tonumber(ARGV[5]))
forget_idle(now)
local texts, answers = {}, { now, was_empty and 1 or 0, '' }
local place = 6
-- How many arguments each takes, with its name.
local WIDTH = { ask = 9, settle = 7, ['give-back'] = 2, resume = 3, begun = 7, pause = 3, report = 1 }
local ends = {}
while ARGV[place] do
  local what = ARGV[place]
  if what == 'settle' or what == 'give-back' then
    ends[#ends + 1] = ARGV[place + 1]
  end
  place = place + WIDTH[what]
end
read_calls(ends)
place = 6
-- The next arguments, as numbers if they are.
local function argument()
  place = place + 1
  return ARGV[place - 1]
end
local function number()
  return tonumber(argument())
end
while ARGV[place] do
  local what, answer = argument(), nil
  if what == 'ask' then
    local spend = new_spend(number(), number(), number())
    answer = admit(spend, number(), number(), number(), argument(), argument(), now)
  elseif what == 'settle' then
    answer = settle(argument(), argument(), argument(), number(), number(), argument(), now)
  elseif what == 'give-back' then
    answer = give_back(argument(), now)
  elseif what == 'resume' then
    answer = resume(number(), number(), now)
  elseif what == 'begun' then
    local spend = new_spend(number(), number(), number())
    answer = begun(spend, number(), argument(), argument(), now)
  elseif what == 'pause' then
    answer = pause(now + number(), argument(), now)
  else
    answer = report(now)
  end
  if type(answer) == 'table' then
    answers[#answers + 1] = answer
    answer = ''
  end
  texts[#texts + 1] = answer
end
keep(now)
close_state()
answers[3] = table.concat(texts, ';')
return answers
