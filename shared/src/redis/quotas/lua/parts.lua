
-- Limits of tenants and models: `parts.rs`. A part's name begins with the time since when the
-- limits of parts are the same: those of older limits are forgotten when they are idle.

local Parts = { by_name = {}, used = {} }

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
    if not values[i] then
      Parts.by_name[name] = false
      return nil
    end
    meters[i] = Meter.read(fields[i], dimension, rates[dimension], values[i])
  end
  Parts.by_name[name] = meters
  return meters
end

local function remove(name)
  for _, meter in ipairs(Parts.by_name[name] or {}) do
    Meter.remove(meter)
  end
end

-- The part's meters: new ones if it has none that are not idle.
local function open(name, rates, since, now)
  local meters = read(name, rates)
  if not meters or now > Meters.idle_at(meters) then
    remove(name)
    meters = {}
    for _, dimension in ipairs(METERED) do
      if rates[dimension] then
        meters[#meters + 1] = Meter.new(name .. '/' .. dimension, dimension, rates[dimension], nil, since, 0)
      end
    end
    Parts.by_name[name] = meters
  end
  return meters
end

-- Names of the parts that limit a call, and their meters.
local function of(tenant, model, now)
  local names, opened = {}, {}
  local rates = { limits.t or false, limits['m:' .. model] or false }
  for i, part in ipairs({ 't:' .. tenant, 'm:' .. model }) do
    if rates[i] then
      local name = text(state.parts_since) .. part
      names[#names + 1] = name
      opened[#opened + 1] = open(name, rates[i], state.parts_since, now)
    end
  end
  return names, opened
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

Parts.read, Parts.of, Parts.word, Parts.close, Parts.forget = read, of, word, close, forget
return Parts
