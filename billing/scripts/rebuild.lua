-- rebuild.lua - takes a partition back to nothing, so that all writers fill it again.
--
-- KEYS: state, live, cursors, before; for `delete` then the keys that go. ARGV: installation, partitions, verb, reason.
-- Answers {OK}, {NOTHING} when that step is not due (somebody else has done it), or {INSTALLATION}.
--
--   park    the partition takes nothing any more, `reason` says why; one that knew nothing keeps the mark of that,
--           since it can't tell who is live (recovered.lua)
--   delete  only while it is parked: nothing is written to it then, so what is gone stays gone. It names no run any more,
--           so nobody who reads takes what is gone for what was never there. How far each writer was booked is kept in
--           `before`, so that a deletion which was cut off still shows what was here
--   empty   all but state and live is gone: writers may fill it, nobody is admitted; whoever is live has to say anew
--           that it is back. One that knew nothing notes that it was emptied, so that the next console fills it only
--   done    all writers have filled it: it admits again by the rules of recovered.lua. Who is not back as far as it
--           was stays in `before`: should it be lost, that says what is lost with it
local state, live, cursors, before, verb = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[3]

local s = call('HMGET', state, 'installation', 'partitions', 'parked', 'rebuilding', 'pending_blank')
if (s[1] and s[1] ~= ARGV[1]) or (s[2] and s[2] ~= ARGV[2]) then
    return {'INSTALLATION'}
end

local function number_in(cursor)
    return tonumber(match(cursor or '0', '^%d+') or '0')
end

local verbs = {}

function verbs.park()
    if s[3] then
        return {'NOTHING'}
    end
    call('HSET', state, 'installation', ARGV[1], 'partitions', ARGV[2], 'parked', ARGV[4])
    if not s[1] then
        call('HSET', state, 'pending_blank', '1')
    end
    return {'OK'}
end

function verbs.delete()
    if not s[3] then
        return {'NOTHING'}
    end
    local booked = call('HGETALL', cursors)
    for i = 1, #booked, 2 do
        if number_in(call('HGET', before, booked[i])) < number_in(booked[i + 1]) then
            call('HSET', before, booked[i], booked[i + 1])
        end
    end
    call('HDEL', state, 'run_id')
    for i = 5, #KEYS do
        call('UNLINK', KEYS[i])
    end
    return {'OK'}
end

function verbs.empty()
    if not s[3] then
        return {'NOTHING'}
    end
    local words = call('HGETALL', live)
    for i = 1, #words, 2 do
        call('HSET', live, words[i], '-' .. (match(words[i + 1], ' .*$') or ' 0 0'))
    end
    call('HSET', state, 'rebuilding', '1')
    if s[5] or not s[1] then
        call('HSET', state, 'installation', ARGV[1], 'partitions', ARGV[2], 'pending_blank', 'emptied')
    end
    call('HDEL', state, 'parked', 'applying', 'run_id', 'pending_run', 'pending_since', 'pending_last')
    return {'OK'}
end

function verbs.done()
    if s[3] or not s[4] then
        return {'NOTHING'}
    end
    local gone = call('HGETALL', before)
    for i = 1, #gone, 2 do
        if number_in(gone[i + 1]) <= number_in(call('HGET', cursors, gone[i])) then
            call('HDEL', before, gone[i])
        end
    end
    call('HDEL', state, 'rebuilding')
    return {'OK'}
end

return verbs[verb]()
