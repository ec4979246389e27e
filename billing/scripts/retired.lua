-- retired.lua - what a partition knows of writers that were retired: `retired <writer>` in its state.
--
-- KEYS: state, live, cursors. ARGV: installation, partitions, verb; of `fence` then the writers; of `over` the writer
-- and the number of the last record that the archive has of it here. Answers {OK} or {INSTALLATION}; `over` also
-- {BEHIND} when not all of those records are applied (an END among them may yet say that its call was answered), or
-- {PARKED}.
--
--   fence   from now on nothing is applied that the writer's own process ships, nothing is admitted that it asks for,
--           and nobody waits for it. That stands before anybody reads what Redis holds of it
--   over    and all that was saved of it has been applied: the calls which it left open are over
--
-- A partition that knows nothing yet learns no installation here: whoever finds it so must see that all was lost.
local state, live, cursors, verb = KEYS[1], KEYS[2], KEYS[3], ARGV[3]

local s = call('HMGET', state, 'installation', 'partitions', 'parked')
if (s[1] and s[1] ~= ARGV[1]) or (s[2] and s[2] ~= ARGV[2]) then
    return {'INSTALLATION'}
end

local verbs = {}

function verbs.fence()
    for i = 4, #ARGV do
        call('HSETNX', state, 'retired ' .. ARGV[i], 'fenced')
        call('HDEL', live, ARGV[i])
    end
    return {'OK'}
end

function verbs.over()
    local cursor = match(call('HGET', cursors, ARGV[4]) or '0', '^%d+') or '0'
    if s[3] then
        return {'PARKED'}
    elseif tonumber(cursor) < tonumber(ARGV[5]) then
        return {'BEHIND'}
    end
    call('HSET', state, 'retired ' .. ARGV[4], 'over')
    return {'OK'}
end

return verbs[verb]()
