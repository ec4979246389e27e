-- retired.lua - a writer was retired: nothing of it will come any more, so that the calls which it left open are over.
--
-- KEYS: state, cursors. ARGV: installation, partitions, writer, n of the last record that the archive has of it here.
-- Answers {OK}, {BEHIND} when those records are not all applied (an END among them may yet say that its call was
-- answered), {INSTALLATION} or {PARKED}.
local state, cursors, writer = KEYS[1], KEYS[2], ARGV[3]

local s = call('HMGET', state, 'installation', 'partitions', 'parked')
if (s[1] and s[1] ~= ARGV[1]) or (s[2] and s[2] ~= ARGV[2]) then
    return {'INSTALLATION'}
elseif s[3] then
    return {'PARKED'}
end
local cursor = match(call('HGET', cursors, writer) or '0', '^%d+') or '0'
if tonumber(cursor) < tonumber(ARGV[4]) then
    return {'BEHIND'}
end
if not s[1] then
    call('HSET', state, 'installation', ARGV[1], 'partitions', ARGV[2])
end
call('HSET', state, 'retired ' .. writer, '1')
return {'OK'}
