-- One step of one session. Redis runs a script alone and by its own clock, so balancers that race, and whose clocks differ, agree.
--
-- KEYS  the session, the pool's generation
-- ARGV  the verb; how long Redis keeps a session that nobody asks for; how much less than that may be left before it is
--       set anew; the absolute lifetime, 0 for none (all in ms); then
--         get | bind BACKEND AGE | move TO AGE FROM | drop
-- Answer: the backend or '', its age in ms, the generation or '', 1 if what Redis held made no sense
local verb, keep, slack, lifetime = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

-- Whoever finds another generation than before knows that Redis has lost its data.
local generation = redis.pcall('GET', KEYS[2])
if type(generation) ~= 'string' or #generation > 20 then
  generation = string.format('%.0f', tonumber(clock[1]) * 1000000 + tonumber(clock[2]))
  if redis.pcall('SET', KEYS[2], generation).err then generation = '' end
end

local held = redis.pcall('GET', KEYS[1])
local backend, born, malformed, age = nil, nil, 0, 0
if held then
  if type(held) == 'string' and #held <= 39 then
    backend, born = string.match(held, '^1:(%x+):(%d+)$')
  end
  if not backend or #backend ~= 16 then
    backend, malformed = nil, 1
  else
    age = math.max(now - tonumber(born), 0)
    if lifetime > 0 and age >= lifetime then backend = nil end
  end
end

local function left(at_age)
  local time = keep
  if lifetime > 0 then time = math.min(time, lifetime - at_age) end
  return math.max(time, 1)
end

local function put(to, at_age)
  if lifetime > 0 and at_age >= lifetime then return end
  local value = string.format('1:%s:%.0f', to, now - at_age)
  redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', left(at_age)))
  backend, age = to, at_age
end

if verb == 'drop' then
  redis.call('DEL', KEYS[1])
  backend = nil
elseif backend and not (verb == 'move' and backend == ARGV[7]) then
  if redis.call('PTTL', KEYS[1]) < left(age) - slack then
    -- A Redis that takes no writes still says whose session it is.
    redis.pcall('PEXPIRE', KEYS[1], string.format('%.0f', left(age)))
  end
elseif verb ~= 'get' then
  put(ARGV[5], tonumber(ARGV[6]))
end
return { backend or '', age, generation, malformed }
