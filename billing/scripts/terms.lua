-- terms.lua - what accounts and keys are set to, put before apply_account.lua.
--
-- A record sets some members of an object: its creation all that it has, any other what it names. The terms of an
-- object keep each operation: "form operation" → "revision at writer n name=value …", form being create, limit, revoke
-- or rotate (of the key that was replaced). Of the records of one operation the first counts, by (at, writer, n); of those, a member has the value of
-- the highest revision that names it, of equal ones of the latest. So what an object is set to follows from the set
-- of records alone: a repeated operation sets nothing again, and two changes of different members both stand.
local NUMBERS = {credit_limit = true, concurrency = true, rpm = true, tpm = true, budget_day = true, budget_month = true}
local SETTING_FIELDS = 5

-- An entry read: its values by name. Nil: a number in it is out of range.
local function read_setting(op, entry)
    local s = {op = op, entry = entry, values = {}}
    local rest
    s.revision, s.at, s.writer, s.n, rest = match(entry, '^(%d+) (%d+) (%S+) (%d+)(.*)$')
    if not is_amount(s.revision) then
        return nil
    end
    for name, value in string.gmatch(rest, ' ([^%s=]+)=(%S*)') do
        if NUMBERS[match(name, '^[^:]+')] and not is_amount(value) then
            return nil
        end
        s.values[name] = value
    end
    return s
end

-- Fields from `f` on: form, operation, revision, at, "name=value …".
local function setting_of(r, f)
    return read_setting(ARGV[f] .. ' ' .. ARGV[f + 1], ARGV[f + 2] .. ' ' .. ARGV[f + 3] .. ' ' .. writer .. ' '
        .. r.n .. ' ' .. ARGV[f + 4])
end

local function is_higher(a, b)
    if a.revision ~= b.revision then
        return less(b.revision, a.revision)
    end
    return is_before(b.at, b.writer, b.n, a.at, a.writer, a.n)
end

-- What the object is set to once `new` is among its operations; nil when an earlier record of its operation counts. A
-- creation names all members but an account's budgets for models: what only a record named that counts no more, since an
-- earlier one of its operation came, is false. Nothing is written here.
local function values_with(terms, new)
    local all, highest, values, replaced = call('HGETALL', terms), {}, {}, {}
    local function offer(s)
        for name, value in pairs(s.values) do
            if not highest[name] or is_higher(s, highest[name]) then
                highest[name], values[name] = s, value
            end
        end
    end
    for i = 1, #all, 2 do
        local s = read_setting(all[i], all[i + 1])
        if s.op ~= new.op then
            offer(s)
        elseif is_before(s.at, s.writer, s.n, new.at, writer, new.n) then
            return nil
        else
            replaced = s.values
        end
    end
    offer(new)
    for name in pairs(replaced) do
        values[name] = values[name] or false
    end
    return values
end

local function write_values(object, values)
    for name, value in pairs(values) do
        if value then
            call('HSET', object, name, value)
        else
            call('HDEL', object, name)
        end
    end
end
