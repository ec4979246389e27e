-- spent.lua - what an account spends, day by day and month by month of its own, put before the scripts that count it.
--
-- A call counts on the day on which it began. What was spent follows from ENDs alone: `spent:<account>:<month>:<currency>`
-- has nanos under "<window> account", "<window> key:<first key>" (of its rotations) and "<window> model:<model>", a window being a day
-- (2026-11-22) or the month (2026-11), and under "<day> model:<model> calls" how many. Nothing leaves it: what is given
-- back of a call was spent on that day all the same.
local function spending_names(day, key, model)
    local month, list = sub(day, 1, 7), {}
    for _, scope in ipairs({'account', 'key:' .. key, 'model:' .. model}) do
        list[#list + 1] = day .. ' ' .. scope
        list[#list + 1] = month .. ' ' .. scope
    end
    return list
end

-- The command that books a call; nil when a sum would be too large. Reads only.
local function spending(spent, day, key, model, amount)
    local names = spending_names(day, key, model)
    local calls = day .. ' model:' .. model .. ' calls'
    names[#names + 1] = calls
    local sums, command = call('HMGET', spent, unpack(names)), {'HSET', spent}
    for i = 1, #names do
        if not can_add(sums[i]) then
            return nil
        end
        command[#command + 1] = names[i]
        command[#command + 1] = plus(sums[i] or '0', names[i] == calls and '1' or amount)
    end
    return command
end
