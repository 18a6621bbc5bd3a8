-- Returns every runner: facts, when it was last seen, whether it is alive. ARGV: log id.
local now = server_time()
local rows = {}
local found = call('HGETALL', RUNNERS)
for index = 1, #found, 2 do
    local row = unpack_value(found[index + 1])
    rows[#rows + 1] = {row[3], string.format('%.6f', row[1]), row[2] > now and 1 or 0}
end
return rows
