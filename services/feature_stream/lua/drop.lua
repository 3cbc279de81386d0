-- Removes a dead letter.
-- KEYS: dead, sizes of dead letters   ARGV: id of the letter   Returns 1 | 0 (there is no such letter)
return remove_letter(KEYS[1], KEYS[2], ARGV[1])
