DROP TABLE revision_floors;
