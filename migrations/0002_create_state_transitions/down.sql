DROP TABLE state_transitions;
