-- spent.lua - what an account spends, day by day and month by month of its own, put before the scripts that count it.
--
-- A call counts on the day on which it began, and in that day's month. What was spent follows from ENDs alone:
-- `spent:<account>:<day or month>:<currency>` has nanos under "account", "key:<first key>" (of its rotations) and "model:<model>", and that of
-- a day under "calls:<model>" how many. Nothing leaves it: what is given back of a call was spent on that day all the same.
-- Each day has a hash of its own, so that a call costs the same on a month's last day as on its first.
--
-- HINCRBY is exact to 64 bits and reads nothing back, which is what it costs to add in Lua. It cannot overflow: no sum
-- here is above the account's of that month, and of what that is made of each END was let into `debits` of its period,
-- which takes no more than 10^18; so the calls that began in one month would have to fill nine periods. Should one be too
-- large all the same, or no number, the command fails and the partition is parked with its record's number, as it is
-- whenever a script fails midway; no sum is ever wrong.
local function spend(of_day, of_month, key, model, amount)
    local of_key, of_model = 'key:' .. key, 'model:' .. model
    call('HINCRBY', of_day, 'account', amount)
    call('HINCRBY', of_day, of_key, amount)
    call('HINCRBY', of_day, of_model, amount)
    call('HINCRBY', of_day, 'calls:' .. model, 1)
    call('HINCRBY', of_month, 'account', amount)
    call('HINCRBY', of_month, of_key, amount)
    call('HINCRBY', of_month, of_model, amount)
end
