-- apply.lua - the part that both apply scripts share: which records of a batch are due, and the cursor.
--
-- KEYS: state, cursors, suspense, records, ops or catalogue, trimmed; then the keys of each record in turn.
-- ARGV: installation, partitions, writer, source; then per record: n, crc, kind, line, past, how many keys it has,
--       how many fields follow, and those. `past`: 0, or of a record that is archived and no longer recent its
--       time in ms: it enters no stream. `source`: journal, if a process ships what it wrote itself, or archive.
-- Answers {status, n, crc, applied, duplicates, suspended}, n and crc being the cursor's, status OK, GAP
-- or CONFLICT; or, nothing having been written, {INSTALLATION, …}, {MALFORMED, …} or {PARKED, why}; or {RETIRED, how far
-- that has come (retired.lua)}: of a writer that was retired only what the archive has of it is applied, for its
-- last segment was made of what stood here when that was read, and whatever its process still has came too late.
local state, cursors, suspense, records = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local installation, partitions, writer, source = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local LAST_EXACT = '9007199254740992'

local function park(why)
    call('HSET', state, 'parked', why)
    return {'PARKED', why}
end

-- Position of `n` as a number that a double holds exactly; nil when it is none.
local function number_of(n)
    return find(n, '^[1-9]%d*$') and not less(LAST_EXACT, n) and tonumber(n) or nil
end

-- What stands, or would stand, in suspense was dropped by a resolve record, which may have come first.
local function was_dropped(entry, detail)
    return call('HEXISTS', suspense, 'resolved ' .. entry .. ' ' .. detail) == 1
end

-- The whole record, for a host that is lost before it archived it.
local function keep(r)
    if r.past == '0' then
        call('XADD', records, '*', 'r', r.line)
    end
end

-- Every read of a record stands before its first write, and what is written afterwards was checked by
-- those reads. Should a call fail all the same, the mark `applying` and `parked` say so.
local function book(effects, r)
    local effect = effects[r.kind]
    local reason, is_noted
    if effect then
        reason, is_noted = effect(r)
    else
        reason = 'kind-is-unknown'
    end
    if reason and not is_noted and not was_dropped(writer .. ' ' .. r.n, '-') then
        call('HSET', suspense, writer .. ' ' .. r.n, reason .. ' ' .. r.line)
    end
    return reason
end

-- Fields: entry (':' for blanks), dropped|booked, detail: of a currency the sum that was dropped, else '-'.
local function book_resolve(r)
    local entry, detail = string.gsub(ARGV[r.f], ':', ' '), ARGV[r.f + 2]
    local held = call('HGET', suspense, entry)
    keep(r)
    if ARGV[r.f + 1] ~= 'dropped' then
        return
    end
    call('HSET', suspense, 'resolved ' .. entry .. ' ' .. detail, '1')
    if held and (detail == '-' or match(held, ' (%S+)$') == detail) then
        call('HDEL', suspense, entry)
    end
end

-- Of a number whose record nobody holds any more only the cursor moves.
local function book_lost()
end

local function refusal()
    local s = call('HMGET', state, 'installation', 'partitions', 'parked', 'applying', 'retired ' .. writer)
    if (s[1] and s[1] ~= installation) or (s[2] and s[2] ~= partitions) then
        return {'INSTALLATION', s[1] or '', s[2] or ''}
    end
    if s[5] and source ~= 'archive' then
        return {'RETIRED', s[5]}
    end
    if s[3] then
        return {'PARKED', s[3]}
    end
    if s[4] then
        return park('a script failed midway at record ' .. s[4])
    end
end

-- The batch as a table; nil and what is wrong when it is malformed.
local function batch()
    local list, a, k = {}, 5, 7
    while ARGV[a] do
        local past, keys, fields = ARGV[a + 4] or '', tonumber(ARGV[a + 5] or ''), tonumber(ARGV[a + 6] or '')
        local value = number_of(ARGV[a])
        if not (value and find(past, '^%d+$') and keys and fields and ARGV[a + 6 + fields] and KEYS[k + keys - 1]) then
            return nil, ARGV[a]
        end
        list[#list + 1] = {n = ARGV[a], value = value, crc = ARGV[a + 1], kind = ARGV[a + 2],
                           line = ARGV[a + 3], past = past, k = k, keys = keys, f = a + 7, fields = fields}
        a, k = a + 7 + fields, k + keys
    end
    return list
end

local function apply(effects)
    local refused = refusal()
    if refused then
        return refused
    end
    local list, wrong = batch()
    if not list then
        return {'MALFORMED', wrong}
    end
    local n, crc = '0', ''
    local cursor = call('HGET', cursors, writer)
    if cursor then
        n, crc = match(cursor, '^(%d+) (%x+)$')
        if not n then
            return park('the cursor of ' .. writer .. ' is malformed')
        end
    end
    local value, status, why = tonumber(n), 'OK', nil
    local applied, duplicates, suspended = 0, 0, 0
    for _, r in ipairs(list) do
        if r.value > value + 1 then
            status = 'GAP'
            break
        elseif r.value <= value then
            if r.value == value and r.crc ~= crc then
                status = 'CONFLICT'
                break
            end
            duplicates = duplicates + 1
        else
            if applied == 0 then
                call('HSET', state, 'applying', writer .. ' ' .. r.n)
            end
            local ok, reason = pcall(book, effects, r)
            if not ok then
                status, why = 'PARKED', type(reason) == 'table' and reason.err or tostring(reason)
                why = 'record ' .. writer .. ' ' .. r.n .. ': ' .. why
                break
            end
            if reason then
                suspended = suspended + 1
            end
            applied, n, value, crc = applied + 1, r.n, r.value, r.crc
        end
    end
    if applied > 0 then
        call('HSET', cursors, writer, n .. ' ' .. crc)
    end
    if why then
        return park(why)
    end
    if applied > 0 then
        call('HDEL', state, 'applying')
    end
    return {status, n, crc, applied, duplicates, suspended}
end

-- Of two records that set the same thing, whether (at, writer, n) comes before (at2, writer2, n2).
local function is_before(at, w, n, at2, w2, n2)
    if at ~= at2 then
        return less(at, at2)
    end
    if w ~= w2 then
        return w < w2
    end
    return less(n, n2)
end
