-- A delivery report that is pending is a fact of its own, less than a nack; before, it
-- was taken for an ack. The facts from the nack on have moved up by one.

-- +goose Up
UPDATE transmission SET fact = fact + 1 WHERE direction = 'O' AND fact >= 3;
UPDATE early SET fact = fact + 1 WHERE direction = 'O' AND fact >= 3;
