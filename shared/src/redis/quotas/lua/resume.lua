
-- How a state goes on after calls that it was not told of: `resume.rs`.

local function resume(ahead, money, now)
  Ends.throttle(now)
  local from = max(state.slot, now + ahead)
  state.slot = from
  for _, meter in ipairs(meters) do
    Meter.prepare(meter, 0, now)
    if meter.dimension == 'money' then
      Meter.take(meter, money, from, 1)
    else
      Meter.doubt(meter, from)
    end
  end
  state.parts_known = from
  return 1
end

local function doubt(ahead, name, now)
  Parts.doubt(name, now + ahead, now)
  return 1
end

-- Takes over a call under way that was admitted elsewhere.
local function begun(spend, ttl, tenant, model, now)
  local names, opened = Parts.of(tenant, model, now)
  local refused = Next.never(spend, opened)
  if refused then
    return refused
  end
  Ends.throttle(now)
  Meters.prepare(meters, spend, now)
  for _, part in ipairs(opened) do
    Meters.prepare(part, spend, now)
  end
  local at = max(state.slot, now)
  return Next.granted(at, Next.take_slots(1, spend, names, opened, at, ttl), false)
end

return { resume = resume, begun = begun, doubt = doubt }
