
-- Limits of tenants and models: `parts.rs`. A part's name is `t:TENANT` or `m:MODEL`. Its rates may change: each
-- of its meters says of which rate it is, and since when it is known what was used; what happened since then, it
-- is told when it is needed.

local Parts = { by_name = {}, used = {} }

-- Where a part's rates are among the limits.
local function key_of(name)
  return string.sub(name, 1, 2) == 't:' and 't' or name
end

-- The time from which on a rate is metered that began after `parts_known`; else 0. In the state a line each:
-- `TIME KEY/DIMENSION`.
local begun
local function begun_at(key, dimension)
  if state.parts_begun == '' then
    return 0
  end
  if not begun then
    begun = {}
    for time, what in gmatch(state.parts_begun, '(%d+) ([^\n]*)\n') do
      begun[what] = tonumber(time)
    end
  end
  return begun[key .. '/' .. dimension] or 0
end

-- Takes other limits over, whose new rates are metered from a time on. Another amount of money in the same
-- window is no new rate.
local function adopt(old, from)
  if old.parts == '' then
    state.parts_known = max(state.parts_known, from)
  end
  local lines = {}
  for key, rates in pairs(limits) do
    local is_part = key == 't' or string.sub(key, 1, 2) == 'm:'
    for dimension, rate in pairs(is_part and rates or {}) do
      local before = old[key] and old[key][dimension]
      local goes_on = before and before.window == rate.window
        and (dimension == 'money' or before.amount == rate.amount)
      local since = goes_on and begun_at(key, dimension) or from
      if since > state.parts_known then
        lines[#lines + 1] = format('%d %s/%s\n', since, key, dimension)
      end
    end
  end
  state.parts_begun, begun = table.concat(lines), nil
end

-- A meter that knows what was used since a time, and the uses of an older one, if there is one.
local function begin(name, dimension, rate, older, since, after)
  local meter = Meter.new(name, dimension, rate, older, since, after)
  meter.of_amount, meter.of_window, meter.since = rate.amount, rate.window, since
  return meter
end

-- Nothing is known of a time before but what the meter has seen.
local function doubt_meter(meter, since, now)
  if meter.since < since then
    Meter.prepare(meter, 0, now)
    Meter.doubt(meter, since)
    meter.since = since
  end
end

-- The meter as it is under a rate, whose uses are known since a time.
local function renew(meter, rate, since, now)
  if meter.of_amount ~= rate.amount or meter.of_window ~= rate.window then
    local before = meter
    before.amount = before.of_amount
    meter = begin(before.name, before.dimension, rate, before, since, state.id)
    if before.dimension == 'money' and before.of_window == rate.window then
      Meter.keep_known(meter, before, now)
      meter.since = before.since
    end
  end
  doubt_meter(meter, since, now)
  return meter
end

-- The meters that a part has in the state; nil if it has none.
local function read(name, rates)
  if Parts.by_name[name] ~= nil then
    return Parts.by_name[name] or nil
  end
  local fields, dimensions = {}, {}
  for _, dimension in ipairs(METERED) do
    if rates[dimension] then
      fields[#fields + 1] = name .. '/' .. dimension
      dimensions[#dimensions + 1] = dimension
    end
  end
  local values, meters = redis.call('HMGET', STATE, unpack(fields)), {}
  for i, dimension in ipairs(dimensions) do
    if values[i] then
      local meter = Meter.read(fields[i], dimension, rates[dimension], values[i])
      local amount, window, since = match(values[i], '(%d+) (%d+) (%d+)$')
      meter.of_amount, meter.of_window, meter.since = amount + 0, window + 0, since + 0
      meters[#meters + 1] = meter
    end
  end
  meters.are_all = #meters == #fields
  Parts.by_name[name] = meters[1] and meters or false
  return meters[1] and meters
end

-- The part's meters as they are now; nil if it has none that are not idle.
local function find(name, rates, now)
  local meters = read(name, rates)
  if not meters or now > Meters.idle_at(meters) then
    return nil
  end
  for i, meter in ipairs(meters) do
    local rate = rates[meter.dimension]
    local since = max(state.parts_known, begun_at(key_of(name), meter.dimension))
    if meter.since < since or meter.of_amount ~= rate.amount or meter.of_window ~= rate.window then
      meters[i] = renew(meter, rate, since, now)
      Parts.used[name] = true
    end
  end
  return meters
end

local function remove(name)
  for _, meter in ipairs(Parts.by_name[name] or {}) do
    Meter.remove(meter)
  end
end

-- The part's meters: new ones where it has none, or idle ones.
local function open(name, rates, now)
  local known, after = find(name, rates, now), state.id
  if known and known.are_all then
    return known
  end
  if not known then
    remove(name)
    known, after = {}, 0
  end
  local older, meters = {}, { are_all = true }
  for _, meter in ipairs(known) do
    older[meter.dimension] = meter
  end
  for _, dimension in ipairs(METERED) do
    local rate = rates[dimension]
    if rate then
      local since = max(state.parts_known, begun_at(key_of(name), dimension))
      meters[#meters + 1] = older[dimension]
        or begin(name .. '/' .. dimension, dimension, rate, nil, since, after)
    end
  end
  Parts.by_name[name] = meters
  return meters
end

-- Names of the parts that limit a call, and their meters.
local function of(tenant, model, now)
  local names, opened = {}, {}
  local rates = { limits.t or false, limits['m:' .. model] or false }
  for i, name in ipairs({ 't:' .. tenant, 'm:' .. model }) do
    if rates[i] then
      names[#names + 1] = name
      opened[#opened + 1] = open(name, rates[i], now)
    end
  end
  return names, opened
end

-- Of one part more than of the others is not known.
local function doubt(name, from, now)
  local rates = limits[key_of(name)]
  if rates then
    for _, meter in ipairs(open(name, rates, now)) do
      doubt_meter(meter, from, now)
    end
    Parts.used[name] = true
  end
end

-- Of the part in this place: 1 a tenant's, 2 a model's; 0 without one.
local function word(place)
  return place and (limits.t and place == 1 and 1 or 2) or 0
end

local function close()
  local idle = {}
  for name in pairs(Parts.used) do
    local meters = Parts.by_name[name]
    for _, meter in ipairs(meters) do
      Meter.write(meter)
    end
    idle[#idle + 1] = text(Meters.idle_at(meters))
    idle[#idle + 1] = name
  end
  in_portions('ZADD', IDLE, idle)
end

-- Removes those with these names: they are idle.
local function forget(names)
  for _, name in ipairs(names) do
    for _, dimension in ipairs(METERED) do
      local field = name .. '/' .. dimension
      local first, last = match(redis.call('HGET', STATE, field) or '', '^%d+ %d+ %d+ %d+ %d+ (%d+) (%d+)')
      removed[#removed + 1] = field
      for place = tonumber(first) or 1, tonumber(last) or 0 do
        removed[#removed + 1] = field .. '.' .. place
      end
    end
  end
  in_portions('ZREM', IDLE, names)
end

Parts.key, Parts.adopt, Parts.find, Parts.of, Parts.doubt = key_of, adopt, find, of, doubt
Parts.word, Parts.close, Parts.forget = word, close, forget
return Parts
