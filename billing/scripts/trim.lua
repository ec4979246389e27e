-- trim.lua - takes the oldest entries of a stream out; of calls also their places in the index.
--
-- KEYS: stream; of calls then index, trimmed. ARGV: id of the stream's first entry as it was seen, id of the
-- last that goes; of calls then account, request ids. Answers how many went: 0 when the stream does not begin
-- with that entry any more, because another console was faster or Redis lost it meanwhile.
local stream, index, trimmed = KEYS[1], KEYS[2], KEYS[3]

local first = call('XRANGE', stream, '-', '+', 'COUNT', '1')[1]
if not first or first[1] ~= ARGV[1] then
    return 0
end
local ms, number = match(ARGV[2], '^(%d+)-(%d+)$')
local kept = ms .. '-' .. string.format('%d', tonumber(number) + 1)
if index then
    raise_mark(trimmed, ARGV[3], ARGV[2])
    call('HDEL', index, unpack(ARGV, 4))
end
return call('XTRIM', stream, 'MINID', '=', kept)
